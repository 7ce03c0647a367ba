//! An event: a CloudEvent 1.0.
