//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is a child in a namespace.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	out    *json.Decoder
	stderr bytes.Buffer
}

// spawn starts this program as a child with a task. It dies with ctx, and with its parent.
func spawn(ctx context.Context, netns string, t *task) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	p := new(process)
	p.cmd = exec.CommandContext(ctx, "ip", "netns", "exec", netns, self, childFlag, string(arg))
	p.cmd.Env = append(os.Environ(), "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = 2 * time.Second
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(out)
	return p, p.cmd.Start()
}

// answer reads the child's next line.
func (p *process) answer() (a answer, err error) {
	if err = p.out.Decode(&a); err != nil {
		return a, p.blame(err)
	}
	return a, nil
}

// finish closes the child's standard input, reads its last answer and waits for its end.
func (p *process) finish() (answer, error) {
	p.stdin.Close()
	return p.result()
}

// result reads the last answer of a child that ends by itself.
func (p *process) result() (answer, error) {
	a, err := p.answer()
	if waitErr := p.cmd.Wait(); waitErr != nil {
		return a, p.blame(waitErr)
	}
	return a, err
}

func (p *process) blame(err error) error {
	if s := strings.TrimSpace(p.stderr.String()); s != "" {
		lines := strings.Split(s, "\n")
		return fmt.Errorf("%w: %s", err, strings.Join(lines[:min(len(lines), 12)], "\n\t"))
	}
	return err
}

// kill ends the child if it still runs.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

var errInterrupted = errors.New("bench: interrupted")
