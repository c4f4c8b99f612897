//! Declared sysdig formats: format strings, lines to events and events to lines. No I/O.
