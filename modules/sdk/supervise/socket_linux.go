package supervise

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// One connection carries one request. The client sends a line of JSON, beside
// it up to three file descriptors, and may send control lines after it; the
// supervisor answers with event lines and one final line. Either side hangs up
// to give up.

// request is the client's first line.
type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

// control is any further line of the client.
type control struct {
	Signal int `json:"signal,omitempty"` // to pass to the process of an exec
}

// reply is a line of the supervisor. One of Event, Result and Error is set, and
// one of the latter two comes last.
type reply struct {
	Event  *Event          `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *remoteError    `json:"error,omitempty"`

	// Ends, beside the last, lists the processes that are about to end, since
	// nothing runs and nobody else asks: the project is off the machine when
	// they have.
	Ends []int `json:"ends,omitempty"`
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
	line, err := json.Marshal(request{Method: method, Params: text})
	if err != nil {
		return err
	}
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
	lines *bufio.Reader
	files []*os.File // received beside the request; closed by close
}

// receiveRequest reads the first line and what came beside it. On an error the
// connection stays the caller's to close.
func receiveRequest(conn *net.UnixConn) (*peer, request, error) {
	p := &peer{conn: conn}
	buf := make([]byte, 64<<10)
	oob := make([]byte, unix.CmsgSpace(3*4))
	n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, request{}, err
	}
	if oobn > 0 {
		if p.files, err = receivedFiles(oob[:oobn]); err != nil {
			return nil, request{}, err
		}
	}
	p.lines = bufio.NewReader(io.MultiReader(bytes.NewReader(buf[:n]), conn))
	var req request
	line, err := readLine(p.lines)
	if err == nil {
		err = json.Unmarshal(line, &req)
	}
	if err != nil {
		return nil, request{}, errors.Join(err, p.closeFiles())
	}
	return p, req, nil
}

func receivedFiles(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // other kinds of control message carry nothing to close
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "stdio"))
		}
	}
	return files, nil
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

func (p *peer) send(r reply) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = p.conn.Write(append(line, '\n'))
	return err
}

func (p *peer) close() error { return errors.Join(p.conn.Close(), p.closeFiles()) }

func (p *peer) closeFiles() (err error) {
	for _, f := range p.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
