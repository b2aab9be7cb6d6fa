//! End-to-end tests of the lab.
