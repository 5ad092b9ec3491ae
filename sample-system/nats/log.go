package nats

import (
	"fmt"
	"log/slog"
)

// logger passes the server's warnings and errors on and keeps its notices,
// a page of them at every start, to the debug level.
type logger struct {
	*slog.Logger
	fatal chan error // the first one
}

func (l logger) Noticef(format string, v ...any) { l.Logger.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.Logger.Warn(fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.Logger.Error(fmt.Sprintf(format, v...)) }
func (l logger) Debugf(format string, v ...any)  { l.Logger.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Tracef(format string, v ...any)  { l.Logger.Debug(fmt.Sprintf(format, v...)) }

// Fatalf is for what the server cannot live with, such as an address in use; it
// returns after it, and would go on half alive.
func (l logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Errorf(format, v...):
	default:
	}
}
