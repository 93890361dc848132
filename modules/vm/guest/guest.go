// Package guest is what the first process of a small virtual machine does before
// its real work: it loads kernel modules, mounts the kernel's file systems,
// leaves the first root file system for a disk, and at the end switches the
// machine off.
//
//	func boot() error {
//		if err := guest.MountDevices(); err != nil {
//			return err
//		}
//		if err := guest.LoadModules("/" + initramfs.ModuleFolder); err != nil {
//			return err
//		}
//		if err := guest.SwitchRoot("/dev/vda", "ext4"); err != nil {
//			return err
//		}
//		return guest.MountKernel()
//	}
//
// The kernel's first root file system cannot be left with pivot_root(2), and
// before Linux 6.3 neither it nor a tmpfs can be idmapped: containers need the
// disk.
//
// Platform: Linux; elsewhere every function returns an error that matches
// errors.ErrUnsupported. Privileges: it is for process 1 of a machine of its
// own, and would damage any other. Not for concurrent use.
package guest
