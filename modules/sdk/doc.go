// Package sdk is the engine: from a .ctst file to isolated processes and back.
//
//	eng, err := sdk.Open(sdk.Options{File: "shop.ctst", Supervisor: []string{"/usr/bin/ctst", "supervise"}})
//	if err != nil {
//		return err
//	}
//	d, err := eng.Plan(ctx, sdk.PlanOptions{Import: true})
//	if err != nil {
//		return err // diag.Errors: what is wrong with the file or its sources
//	}
//	err = eng.Apply(ctx, d, sdk.ApplyOptions{})
//	containers, err := eng.List(ctx)
//
// An [Engine] is a client: what runs belongs to the project's supervisor (see
// package supervise), a process of its own which Apply starts with
// Options.Supervisor. All methods may be called from several goroutines and
// several processes at once.
//
// Everything but deploying is portable. Deploying natively needs Linux 5.19 and
// root; elsewhere it gives errors that match errors.ErrUnsupported.
package sdk
