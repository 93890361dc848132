// Command init is the first process of the guest: it boots, runs the jobs, and
// switches the machine off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/integration/guest/job"
	"github.com/containust/containust/modules/vm/guest"
	"github.com/containust/containust/modules/vm/initramfs"
)

// runJobs is the argument of the process that runs the jobs.
const runJobs = "jobs"

// systemd runs the machine where it is there, and the jobs as a service.
const systemd = "/lib/systemd/systemd"

func main() {
	if len(os.Args) > 1 && os.Args[1] == runJobs {
		if err := jobs(); err != nil {
			fmt.Fprintln(os.Stderr, "guest:", err)
			os.Exit(1)
		}
		return
	}
	// Whatever happens, the machine ends; the host sees which results miss.
	if err := boot(); err != nil {
		fmt.Fprintln(os.Stderr, "guest: boot:", err)
	} else if err := reap(); err != nil {
		fmt.Fprintln(os.Stderr, "guest: run the jobs:", err)
	}
	if err := guest.PowerOff(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
}

func boot() error {
	if err := guest.MountDevices(); err != nil {
		return err
	}
	if err := guest.LoadModules("/" + initramfs.ModuleFolder); err != nil {
		return err
	}
	if err := guest.SwitchRoot("/dev/vda", "ext4"); err != nil {
		return err
	}
	if err := own(); err != nil {
		return err
	}
	if _, err := os.Stat(systemd); err == nil {
		return fmt.Errorf("run systemd: %w", unix.Exec(systemd, []string{systemd}, []string{"PATH=/usr/bin"}))
	}
	if err := guest.MountKernel(); err != nil {
		return err
	}
	return errors.Join(guest.LinkUp("lo"), unix.Sethostname([]byte("guest")))
}

// own gives the disk's files to root. They have the owner of who made the disk.
func own() error {
	var st unix.Stat_t
	if err := unix.Stat(job.Tests, &st); err != nil || st.Uid == 0 {
		return err
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if slices.Contains([]string{"proc", "sys", "dev"}, entry.Name()) {
			continue
		}
		err := filepath.WalkDir("/"+entry.Name(), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if err := os.Lchown(path, 0, 0); err != nil || !info.Mode().IsRegular() {
				return err
			}
			return os.Chmod(path, info.Mode()) // the set-id bits, which that took away
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reap runs the jobs in a process of their own, so that the first one can do
// what only it can: reap whoever lost its parent.
func reap() error {
	process, err := os.StartProcess("/proc/self/exe", []string{"init", runJobs}, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case pid == process.Pid && status != 0:
			return fmt.Errorf("ended with status %#x", uint32(status))
		case pid == process.Pid:
			return nil
		}
	}
}

// jobs runs what the host asks for.
func jobs() error {
	port, err := guest.OpenPort(job.Port)
	if err != nil {
		return err
	}
	// Until the host listens there is nothing to read, and reading does not wait.
	if err := tell(port, job.Event{Action: job.Ready}); err != nil {
		return err
	}
	for asked := json.NewDecoder(port); ; {
		var j job.Job
		if err := asked.Decode(&j); err != nil {
			return fmt.Errorf("ask for a job: %w", err)
		}
		if j.Program == "" {
			return port.Close()
		}
		if err := run(j, port); err != nil {
			return fmt.Errorf("%s: %w", j.Package, err)
		}
	}
}

// run runs a test program and says how it ended.
func run(j job.Job, results *os.File) error {
	said, output, err := os.Pipe()
	if err != nil {
		return err
	}
	converter := exec.Command(job.Test2JSON, "-t", "-p", j.Package)
	converter.Stdin, converter.Stdout, converter.Stderr = said, results, os.Stderr
	if err := errors.Join(converter.Start(), said.Close()); err != nil {
		return errors.Join(err, output.Close())
	}
	cmd := exec.Command(j.Program, append([]string{"-test.v=test2json"}, j.Args...)...)
	cmd.Dir, cmd.Env = j.Folder, j.Env
	cmd.Stdout, cmd.Stderr = output, output
	if j.UID != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: j.UID, Gid: j.UID}}
	}
	start := time.Now()
	end := job.Event{Action: job.End, Package: j.Package}
	if err := cmd.Run(); err != nil {
		end.Output = err.Error()
	}
	end.Elapsed = time.Since(start).Seconds()
	// The converter goes on as long as somebody has the other end.
	err = errors.Join(output.Close(), killOthers(converter.Process.Pid))
	if err := errors.Join(err, converter.Wait()); err != nil {
		return err
	}
	return tell(results, end)
}

// killOthers ends what a test program that crashed has left: all processes but
// the first, this one and the one to keep.
func killOthers(keep int) error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return err
		}
		if pid == 1 || pid == os.Getpid() || pid == keep {
			continue
		}
		// Of the kernel's own none minds.
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

func tell(results *os.File, e job.Event) error {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = results.Write(append(line, '\n'))
	}
	return err
}
