package gpio

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	pgpio "periph.io/x/conn/v3/gpio"
)

// This file is the part of the kernel's GPIO character device, version 2, that
// watching lines takes (linux/gpio.h, Documentation/userspace-api/gpio). periph's
// line sets are not used for it: they drop the time stamps and sequence numbers.

// Numbers of linux/gpio.h that golang.org/x/sys/unix does not have.
const (
	ioctlChipInfo = 0x8044b401 // _IOR(0xB4, 0x01, chipInfo)

	flagUsed    = 1 << 0
	flagInput   = 1 << 2
	flagRising  = 1 << 4
	flagFalling = 1 << 5
	flagPullUp  = 1 << 8
	flagPullDn  = 1 << 9

	maxEvents = 1024 // the kernel's limit of its buffer: 39 frames of a 26-bit card
	eventSize = 48   // struct gpio_v2_line_event
)

type chipInfo struct {
	name, label [32]byte
	lines       uint32
}

type lineAttr struct {
	id, _ uint32
	value uint64
}

type lineInfo struct {
	name, consumer [32]byte
	offset, attrs  uint32
	flags          uint64
	_              [10]lineAttr
	_              [4]uint32
}

type lineRequest struct {
	offsets  [64]uint32
	consumer [32]byte
	flags    uint64
	nAttrs   uint32
	_        [5]uint32
	attrs    [10]struct {
		lineAttr
		mask uint64 // bit n: the nth of offsets
	}
	lines  uint32
	events uint32 // room in the kernel's buffer
	_      [5]uint32
	fd     int32
}

type lineValues struct{ bits, mask uint64 }

// The sizes are part of the requests' numbers; another layout does not compile.
var (
	_ [68]byte  = [unsafe.Sizeof(chipInfo{})]byte{}
	_ [256]byte = [unsafe.Sizeof(lineInfo{})]byte{}
	_ [592]byte = [unsafe.Sizeof(lineRequest{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(lineValues{})]byte{}
)

func ioctl(fd uintptr, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// cdev is one open chip.
type cdev struct {
	file        *os.File
	path        string
	name, label string
	lines       int
}

// openChip opens the chip of this name, path or label.
func openChip(wanted string) (*cdev, error) {
	paths, err := filepath.Glob("/dev/gpiochip*")
	if err != nil {
		return nil, err
	}
	var there []string
	for _, p := range paths {
		c, err := openPath(p)
		if err != nil {
			there = append(there, err.Error())
			continue
		}
		if wanted == c.name || wanted == c.path || wanted == c.label {
			return c, nil
		}
		there = append(there, fmt.Sprintf("%s (%s)", c.name, c.label))
		c.file.Close()
	}
	return nil, fmt.Errorf("no chip %q among those of this board: %s: %w", wanted, strings.Join(there, ", "), unix.ENODEV)
}

func openPath(path string) (*cdev, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var info chipInfo
	if err := ioctl(f.Fd(), ioctlChipInfo, unsafe.Pointer(&info)); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: chip info: %w", path, err)
	}
	return &cdev{f, path, text(info.name[:]), text(info.label[:]), int(info.lines)}, nil
}

func text(b []byte) string { return unix.ByteSliceToString(b) }

func (c *cdev) info(offset int) (lineInfo, error) {
	info := lineInfo{offset: uint32(offset)}
	err := ioctl(c.file.Fd(), unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(&info))
	return info, err
}

// wanted is one line to watch.
type wanted struct {
	line   string // our name
	offset int    // on the chip
	pull   pgpio.Pull
	pulse  bool // told by its falls alone, see Pulses
}

func (w wanted) flags() uint64 {
	f := uint64(flagInput | flagFalling)
	if !w.pulse {
		f |= flagRising
	}
	switch w.pull {
	case pgpio.PullUp:
		f |= flagPullUp
	case pgpio.PullDown:
		f |= flagPullDn
	}
	return f
}

// request takes lines, at most 64, as one line set.
func (c *cdev) request(lines []wanted) (*lineSet, error) {
	var r lineRequest
	if len(lines) > len(r.offsets) {
		return nil, fmt.Errorf("%d lines in one request, the kernel takes %d", len(lines), len(r.offsets))
	}
	copy(r.consumer[:len(r.consumer)-1], fmt.Sprintf("%s@%d", filepath.Base(os.Args[0]), os.Getpid()))
	r.lines, r.events = uint32(len(lines)), maxEvents
	masks := map[uint64]uint64{} // flags → lines; there are two edges and three pulls, so six at most
	for i, l := range lines {
		r.offsets[i] = uint32(l.offset)
		masks[l.flags()] |= 1 << i
	}
	for flags, mask := range masks {
		a := &r.attrs[r.nAttrs]
		a.id, a.value, a.mask = unix.GPIO_V2_LINE_ATTR_ID_FLAGS, flags, mask
		r.nAttrs++
	}
	r.flags = flagInput
	if err := ioctl(c.file.Fd(), unix.GPIO_V2_GET_LINE_IOCTL, unsafe.Pointer(&r)); err != nil {
		return nil, fmt.Errorf("%w%s", err, c.holders(lines))
	}
	if err := unix.SetNonblock(int(r.fd), true); err != nil {
		unix.Close(int(r.fd))
		return nil, err
	}
	return &lineSet{file: os.NewFile(uintptr(r.fd), "gpio lines of "+c.name), all: 1<<len(lines) - 1}, nil
}

// holders says which of the lines somebody has: "device or resource busy" alone
// sends an installer looking for hours.
func (c *cdev) holders(lines []wanted) (said string) {
	for _, l := range lines {
		if info, err := c.info(l.offset); err == nil && info.flags&flagUsed != 0 {
			said += fmt.Sprintf("; %s (line %d) is held by %q", l.line, l.offset, text(info.consumer[:]))
		}
	}
	return said
}

// lineSet is a kernelSet.
type lineSet struct {
	file *os.File
	all  uint64
	buf  [64 * eventSize]byte
}

func (s *lineSet) Close() error { return s.file.Close() }

// Levels has bit n set while the nth requested line is high.
func (s *lineSet) Levels() (uint64, error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	v := lineValues{mask: s.all}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = ioctl(fd, unix.GPIO_V2_LINE_GET_VALUES_IOCTL, unsafe.Pointer(&v))
	})
	if err == nil {
		err = failed
	}
	return v.bits, err
}

// Wait returns the edges there are, after waiting for one; the error is
// os.ErrDeadlineExceeded when none came in time.
func (s *lineSet) Wait(timeout time.Duration) ([]kernelEvent, error) {
	if err := s.file.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	n, err := s.file.Read(s.buf[:])
	if err != nil {
		return nil, err
	}
	var events []kernelEvent
	for b := s.buf[:n]; len(b) >= eventSize; b = b[eventSize:] {
		events = append(events, kernelEvent{
			at:     time.Duration(binary.NativeEndian.Uint64(b)),
			rising: binary.NativeEndian.Uint32(b[8:]) == unix.GPIO_V2_LINE_EVENT_RISING_EDGE,
			offset: int(binary.NativeEndian.Uint32(b[12:])),
			seq:    binary.NativeEndian.Uint32(b[16:]),
		})
	}
	return events, nil
}

// kernelTime is the clock of the kernel's stamps.
func kernelTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
