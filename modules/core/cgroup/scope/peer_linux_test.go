package scope

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/require"
)

// fake is a peer that answers as the table of a test says; the real one is in the
// guest of integration/guest.
type fake struct {
	t *testing.T
	// answers by method; a method that is not there gets no answer at all.
	answers map[string]answer
	refuse  bool // whoever connects

	asked chan string // the methods
}

// answer is what a method call gets.
type answer struct {
	body  []any
	err   string       // the name of the error that it gets instead
	then  *dbus.Signal // sent after it
	first *dbus.Signal // sent before it
	hang  bool         // the connection ends
}

// listen serves the fake on a socket until the test ends.
func (f *fake) listen(socket string) {
	f.t.Helper()
	f.asked = make(chan string, 100)
	l, err := net.Listen("unix", socket)
	require.NoError(f.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := f.serve(conn); err != nil {
				f.t.Log("fake peer:", err)
			}
			_ = conn.Close()
		}
	}()
	f.t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

// serve does the handshake of the D-Bus specification and answers calls.
func (f *fake) serve(conn net.Conn) error {
	in := bufio.NewReader(conn)
	if _, err := in.ReadByte(); err != nil { // a null byte, with credentials
		return err
	}
	for begun := false; !begun; {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		reply := "ERROR\r\n"
		switch strings.TrimSpace(line) {
		case "AUTH":
			reply = "REJECTED EXTERNAL\r\n"
		case "AUTH EXTERNAL":
			reply = "DATA\r\n"
		case "DATA": // nothing: who it is, the socket tells
			reply = "OK 0123456789abcdef0123456789abcdef\r\n"
			if f.refuse {
				reply = "REJECTED\r\n"
			}
		case "BEGIN":
			begun, reply = true, ""
		}
		if _, err := conn.Write([]byte(reply)); err != nil {
			return err
		}
	}
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return nil // the other side has gone
		}
		if again, err := f.answer(conn, call); !again || err != nil {
			return err
		}
	}
}

func (f *fake) answer(conn net.Conn, call *dbus.Message) (bool, error) {
	method, _ := call.Headers[dbus.FieldMember].Value().(string)
	if method == "Get" { // a property
		method = fmt.Sprint(call.Body[1])
	}
	select {
	case f.asked <- method:
	default: // enough for every test
	}
	a, ok := f.answers[method]
	if !ok {
		return true, nil
	}
	if a.hang {
		return false, nil
	}
	reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{}, Body: a.body}
	if a.err != "" {
		reply.Type, reply.Body = dbus.TypeError, []any{"no: " + a.err}
		reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant(a.err)
	}
	reply.Headers[dbus.FieldReplySerial] = dbus.MakeVariant(call.Serial())
	messages := []*dbus.Message{signal(a.first), reply, signal(a.then)}
	for _, m := range messages {
		if m == nil {
			continue
		}
		if len(m.Body) > 0 {
			m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
		}
		if err := send(conn, m); err != nil {
			return false, err
		}
	}
	return true, nil
}

func signal(s *dbus.Signal) *dbus.Message {
	if s == nil {
		return nil
	}
	return &dbus.Message{Type: dbus.TypeSignal, Body: s.Body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath(managerPath)),
		dbus.FieldInterface: dbus.MakeVariant(managerInterface),
		dbus.FieldMember:    dbus.MakeVariant(s.Name),
	}}
}

// send writes a message with a serial number, which the library sets only for
// its own connections: it is at bytes 8 to 11.
func send(conn net.Conn, m *dbus.Message) error {
	var b strings.Builder
	if err := m.EncodeTo(&b, binary.LittleEndian); err != nil {
		return err
	}
	bytes := []byte(b.String())
	bytes[8] = 1
	_, err := conn.Write(bytes)
	return err
}

// peer returns one whose manager is the fake: on a bus, or directly.
func (f *fake) peer(onBus bool) peer {
	dir, err := os.MkdirTemp("", "scope") // short: a socket's address holds 108 bytes
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, os.RemoveAll(dir)) })
	p := peer{user: true, uid: uint32(os.Geteuid()), bus: filepath.Join(dir, "bus"), private: filepath.Join(dir, "private")}
	if onBus {
		f.listen(p.bus)
		for _, method := range []string{"Hello", "AddMatch"} {
			if _, ok := f.answers[method]; !ok {
				f.answers[method] = answer{}
			}
		}
	} else {
		f.listen(p.private)
	}
	return p
}
