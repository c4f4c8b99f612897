//! Follows log files exactly and ships whole lines as chunks into the broker. Does not know what a line means.
