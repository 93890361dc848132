package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/sdk/state"
)

// One connection carries one request. The client sends a line of JSON, beside
// it up to three file descriptors, and may send control lines after it; the
// supervisor answers with event lines, a line with a terminal beside it where
// one was asked for, and one final line. Either side hangs up to give up.

// request is the client's first line.
type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
	Caller state.Holder    `json:"caller"` // who asks
}

// control is any further line of the client.
type control struct {
	Signal int `json:"signal,omitempty"` // to pass to the process of an exec
}

// reply is a line of the supervisor. One of Event, Opened, Result and Error is
// set, and one of the latter two comes last.
type reply struct {
	Event  *Event          `json:"event,omitempty"`
	Opened *opened         `json:"opened,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *remoteError    `json:"error,omitempty"`

	// Ends, beside the last, lists the processes that are about to end, since
	// nothing runs and nobody else asks: the project is off the machine when
	// they have.
	Ends []int `json:"ends,omitempty"`
}

// opened names the process whose terminal's master travels beside the line.
type opened struct {
	PID       int    `json:"pid"`
	StartTime uint64 `json:"start_time"`
}

// maxLine bounds a line from the other side: a request holds a whole project.
const maxLine = 256 << 20

// runDir is the folder of sockets and process ids below a state folder.
func runDir(stateDir string) string { return filepath.Join(stateDir, "run") }

const socketName = "supervisor.sock"

// atSocket calls fn with an address of the project's socket that is never
// longer than the 108 bytes that the kernel takes: it goes through an open
// folder.
func atSocket(stateDir string, fn func(*net.UnixAddr) error) error {
	dir, err := os.OpenFile(runDir(stateDir), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = fn(&net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)})
	return errors.Join(err, dir.Close())
}

// checkPeer refuses every user but our own and root.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not command this project", cred.Uid)
	}
	return nil
}

// sendRequest writes the first line, with files beside it.
func sendRequest(conn *net.UnixConn, method string, params any, files []*os.File) error {
	text, err := json.Marshal(params)
	if err != nil {
		return err
	}
	line, err := json.Marshal(request{
		Method: method, Params: text,
		Caller: state.Holder{PID: os.Getpid(), Command: state.CommandLine(os.Args)},
	})
	if err != nil {
		return err
	}
	return sendLine(conn, line, files)
}

func sendLine(conn *net.UnixConn, line []byte, files []*os.File) error {
	line = append(line, '\n')
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	n, _, err := conn.WriteMsgUnix(line, oob, nil)
	if err == nil && n < len(line) {
		_, err = conn.Write(line[n:])
	}
	return err
}

// peer is the supervisor's end of a connection.
type peer struct {
	conn  *net.UnixConn
	from  *receiver // closed by close
	lines *bufio.Reader
}

// receiveRequest reads the first line and what came beside it. On an error the
// connection stays the caller's to close.
func receiveRequest(conn *net.UnixConn) (*peer, request, error) {
	p := &peer{conn: conn, from: newReceiver(conn)}
	p.lines = bufio.NewReader(p.from)
	var req request
	line, err := readLine(p.lines)
	if err == nil {
		err = json.Unmarshal(line, &req)
	}
	if err != nil {
		return nil, request{}, errors.Join(err, p.from.close())
	}
	return p, req, nil
}

// maxFiles is how many files one side passes to the other: standard streams, or
// a terminal.
const maxFiles = 3

// A receiver reads from a connection and keeps the files that come beside it.
type receiver struct {
	conn  *net.UnixConn
	files []*os.File
	oob   []byte
}

func newReceiver(conn *net.UnixConn) *receiver {
	return &receiver{conn: conn, oob: make([]byte, unix.CmsgSpace(4*maxFiles))}
}

// Read reads from the connection.
func (r *receiver) Read(p []byte) (int, error) {
	n, oobn, _, _, err := r.conn.ReadMsgUnix(p, r.oob)
	if err != nil || oobn == 0 {
		return max(n, 0), err
	}
	return n, r.keep(r.oob[:oobn])
}

// keep takes the files of a control message.
func (r *receiver) keep(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // other kinds of control message carry nothing to close
		}
		for _, fd := range fds {
			r.files = append(r.files, os.NewFile(uintptr(fd), "stdio"))
		}
	}
	if len(r.files) > maxFiles {
		return fmt.Errorf("more than %d files", maxFiles)
	}
	return nil
}

// take returns the one file that was received, which is then the caller's.
func (r *receiver) take() (*os.File, error) {
	if len(r.files) != 1 {
		return nil, fmt.Errorf("%d files came, not one", len(r.files))
	}
	f := r.files[0]
	r.files = nil
	return f, nil
}

// close closes the files that nobody took.
func (r *receiver) close() (err error) {
	for _, f := range r.files {
		err = errors.Join(err, f.Close())
	}
	r.files = nil
	return err
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxLine:
			return nil, fmt.Errorf("a line of more than %d bytes", maxLine)
		}
	}
}

func (p *peer) send(r reply, files ...*os.File) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return sendLine(p.conn, line, files)
}

func (p *peer) close() error { return errors.Join(p.conn.Close(), p.from.close()) }
