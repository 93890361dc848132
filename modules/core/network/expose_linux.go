package network

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func (e Exposure) hostPort() exposedPort {
	return exposedPort{Address: e.Address, Port: e.HostPort, Protocol: e.Protocol}
}

// protocol is the number of an exposure that check has accepted.
func (e Exposure) protocol() byte {
	if e.Protocol == "udp" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

func (e Exposure) check() error {
	switch {
	case e.Protocol != "tcp" && e.Protocol != "udp":
		return fmt.Errorf("protocol %q is neither tcp nor udp", e.Protocol)
	case e.HostPort == 0 || e.Port == 0:
		return errors.New("ports are from 1 to 65535")
	case !e.Address.IsValid():
		return errors.New("an address is required, such as 127.0.0.1")
	case !e.Address.Is4():
		return fmt.Errorf("only IPv4 addresses of the host can be exposed on, such as 127.0.0.1: %w", errors.ErrUnsupported)
	case e.Address.IsMulticast():
		return errors.New("a multicast address cannot be exposed on")
	}
	return nil
}

// checkPorts returns the host ports of the exposures, or the error of the
// first that is taken. A port that the project has already is its own, whoever
// listens there now.
func checkPorts(ctx context.Context, reg *registry, project string, exposures []Exposure) ([]exposedPort, error) {
	var ports []exposedPort
	for _, e := range exposures {
		port := e.hostPort()
		ports = append(ports, port)
		taken := &PortInUseError{Address: e.Address, Port: e.HostPort, Protocol: e.Protocol}
		if other, ok := reg.portOwner(project, port); ok {
			taken.Owner.Project = other
			return nil, taken
		}
		if slices.Contains(reg.Projects[project].Ports, port) {
			continue
		}
		switch err := tryListen(ctx, port); {
		case errors.Is(err, unix.EADDRINUSE):
			if taken.Owner, err = listener(port); err != nil {
				return nil, errors.Join(taken, err)
			}
			return nil, taken
		case errors.Is(err, unix.EADDRNOTAVAIL):
			return nil, &ExposeError{Exposure: e, Err: errors.New("not an address of this host")}
		case errors.Is(err, unix.EACCES):
			return nil, &ExposeError{Exposure: e, Err: errors.New(
				"ports this low are root's on this host: take a higher one, or lower net.ipv4.ip_unprivileged_port_start with sysctl(8)")}
		case err != nil:
			return nil, &ExposeError{Exposure: e, Err: err}
		}
	}
	return ports, nil
}

// tryListen asks the kernel whether the port is free. It can be for a moment
// only: an exposed port has no socket that would keep others away.
func tryListen(ctx context.Context, port exposedPort) error {
	var config net.ListenConfig
	addr := netip.AddrPortFrom(port.Address, port.Port).String()
	var socket io.Closer
	var err error
	if port.Protocol == "udp" {
		socket, err = config.ListenPacket(ctx, "udp4", addr)
	} else {
		socket, err = config.Listen(ctx, "tcp4", addr)
	}
	if err != nil {
		return err
	}
	return socket.Close()
}

// listener finds out who has a port, from proc_pid_net(5) and the open files of
// all processes. The zero value is "unknown": a socket of another pid
// namespace, or one that was closed since.
func listener(port exposedPort) (PortOwner, error) {
	for _, name := range []string{port.Protocol, port.Protocol + "6"} {
		inode, err := listeningInode(filepath.Join("/proc/thread-self/net", name), port)
		if err != nil {
			return PortOwner{}, err
		}
		if inode == "" {
			continue
		}
		return socketOwner("socket:[" + inode + "]")
	}
	return PortOwner{}, nil
}

// listeningInode returns the inode of the socket in a file of /proc/net that
// takes a port, or "".
func listeningInode(path string, port exposedPort) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil // no IPv6
	}
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// sl local_address rem_address st queues timer retrnsmt uid timeout inode
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		local, ok := parseProcAddress(fields[1])
		if !ok || local.Port() != port.Port {
			continue
		}
		// TCP_LISTEN; a UDP socket has no such state.
		if port.Protocol == "tcp" && fields[3] != "0A" {
			continue
		}
		addr := local.Addr().Unmap()
		if addr == port.Address || addr.IsUnspecified() || port.Address.IsUnspecified() {
			return fields[9], nil
		}
	}
	return "", lines.Err()
}

// parseProcAddress reads "0100007F:1F90": 32 bit words in the machine's order,
// and a port.
func parseProcAddress(s string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	b, err := hex.DecodeString(address)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	// amd64 and arm64 are little endian.
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(addr, uint16(n)), ok && err == nil
}

// socketOwner finds a process that has a file with the given link text open.
func socketOwner(link string) (PortOwner, error) {
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return PortOwner{}, err
	}
	for _, file := range files {
		// Processes and their files come and go meanwhile.
		if target, err := os.Readlink(file); err != nil || target != link {
			continue
		}
		dir := filepath.Dir(filepath.Dir(file))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return PortOwner{}, err
		}
		command, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			return PortOwner{PID: pid}, nil //nolint:nilerr // it has ended since; its number may still help
		}
		return PortOwner{PID: pid, Command: strings.TrimSpace(string(command))}, nil
	}
	return PortOwner{}, nil
}
