//! Detectors, profiles, training, scoring, calibration, explanation, evaluation. Does not know where data lives.
