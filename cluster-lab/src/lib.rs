//! The lab: images, their network, and the command line.
