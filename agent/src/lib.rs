//! Sources of system calls, and one rotated log file a container. Knows neither broker nor store.
