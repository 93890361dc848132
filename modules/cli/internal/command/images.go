package command

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/store"
)

func newImages(a *app) *cobra.Command {
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "images",
		Short: "List, import and remove images",
		Long: `images lists what the store holds, which all projects of a user share. Only what no
project uses can be removed.`,
		Example: examples("ctst images", "ctst images import tar://./app.tar.zst", "ctst images rm 1c9f2ab0", "ctst images gc"),
		Args:    unknownCommand,
		RunE: func(_ *cobra.Command, _ []string) error {
			return a.imagesList(asJSON, quiet)
		},
	}
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the images in the store",
		Long:    "list shows what the store holds, and which projects use it.",
		Example: examples("ctst images list --json"),
		Args:    arguments(0, 0, "no argument"),
		RunE:    cmd.RunE,
	}
	for _, c := range []*cobra.Command{cmd, list} {
		c.Flags().BoolVar(&asJSON, "json", false, "a JSON array")
		c.Flags().BoolVarP(&quiet, "quiet", "q", false, "only the digests, one a line")
	}
	cmd.AddCommand(list,
		&cobra.Command{
			Use: "import URI", Short: "Bring an image into the store",
			Long: `import reads a folder (file://) or an archive (tar://, plain, gzip or zstd) and
prints the digest of the image. With @sha256:… at the end nothing else is accepted.`,
			Example: examples("ctst images import tar://./app.tar.zst", "ctst images import file://./rootfs"),
			Args:    arguments(1, 1, "the URI of an image"),
			RunE:    func(cmd *cobra.Command, args []string) error { return a.imagesImport(cmd.Context(), args[0]) },
		},
		&cobra.Command{
			Use: "rm DIGEST…", Short: "Remove images that no project uses",
			Long:    "rm removes images by digest, of which the first digits are enough, with or without sha256:.",
			Example: examples("ctst images rm 1c9f2ab0"),
			Args:    arguments(1, -1, "digests of images"),
			RunE:    func(cmd *cobra.Command, args []string) error { return a.imagesRemove(cmd.Context(), args) },
		},
		&cobra.Command{
			Use: "gc", Short: "Remove all images that no project uses",
			Long:    "gc removes the images that no project uses, and prints their digests.",
			Example: examples("ctst images gc"),
			Args:    arguments(0, 0, "no argument"),
			RunE:    func(cmd *cobra.Command, _ []string) error { return a.imagesGC(cmd.Context()) },
		},
	)
	return cmd
}

func openStore() (*store.Store, error) {
	dir, err := sdk.CacheDir()
	if err != nil {
		return nil, err
	}
	return store.Open(dir, store.Options{})
}

func (a *app) imagesList(asJSON, quiet bool) error {
	if asJSON && quiet {
		return errJSONQuiet
	}
	s, err := openStore()
	if err != nil {
		return err
	}
	images, err := s.List()
	if err != nil {
		return err
	}
	if asJSON {
		if images == nil {
			images = []store.Image{}
		}
		return a.json(images)
	}
	if quiet {
		for _, img := range images {
			if _, err := fmt.Fprintln(a.Stdout, img.Digest); err != nil {
				return err
			}
		}
		return nil
	}
	return render.Images(a.Stdout, images, time.Now(), a.style(a.Stdout))
}

func (a *app) imagesImport(ctx context.Context, uri string) error {
	ctx, cancel := signal.NotifyContext(ctx, stopSignals...)
	defer cancel()
	dir, err := workDir(a.dir)
	if err != nil {
		return err
	}
	ref, err := source.Parse(uri, dir)
	if err != nil {
		return err
	}
	s, err := openStore()
	if err != nil {
		return err
	}
	talk := a.talk()
	imports := render.NewImports(talk)
	img, err := s.Import(ctx, ref, store.ImportOptions{Progress: func(p store.Progress) {
		imports.Progress(sdk.Progress{Source: uri, Bytes: p.Read, Total: p.Total})
	}})
	talk.Status("")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Stdout, img.Digest)
	return err
}

func (a *app) imagesRemove(ctx context.Context, args []string) error {
	s, err := openStore()
	if err != nil {
		return err
	}
	images, err := s.List()
	if err != nil {
		return err
	}
	var chosen []source.Digest
	for _, arg := range args {
		digest, err := pick(images, arg)
		if err != nil {
			return err
		}
		chosen = append(chosen, digest)
	}
	for _, digest := range chosen {
		if err := s.Remove(ctx, digest); errors.Is(err, store.ErrInUse) {
			return &problem{err: err, mend: []string{"remove what uses it first: ctst rm, in that project"}}
		} else if err != nil {
			return err
		}
		a.talk().Line("  - %s  removed", render.Digest(digest.String()))
	}
	return nil
}

// pick finds the one image whose digest starts so.
func pick(images []store.Image, start string) (source.Digest, error) {
	digits := strings.TrimSuffix(strings.TrimPrefix(start, "sha256:"), "…")
	var found []source.Digest
	for _, img := range images {
		if digits != "" && strings.HasPrefix(img.Digest.Hex(), strings.ToLower(digits)) {
			found = append(found, img.Digest)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", &problem{
			err: fmt.Errorf("no image has a digest that starts with %q", start), mend: []string{"ctst images lists them"},
		}
	}
	return "", &problem{
		err:  fmt.Errorf("%d images have a digest that starts with %q", len(found), diag.Escape(start)),
		mend: []string{"give more digits; ctst images -q lists them in full"},
	}
}

func (a *app) imagesGC(ctx context.Context) error {
	s, err := openStore()
	if err != nil {
		return err
	}
	result, err := s.GC(ctx, nil)
	if err != nil {
		return err
	}
	for _, digest := range result.Images {
		if _, err := fmt.Fprintln(a.Stdout, digest); err != nil {
			return err
		}
	}
	a.talk().Line("%s removed, %s freed.", render.Count(len(result.Images), "image"), render.Size(result.Bytes))
	return nil
}
