//! Chunks of lines to segments of calls, rollups and dead letters. Does not know detectors.
