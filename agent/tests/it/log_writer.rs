//! Rotation, retention and resuming.
