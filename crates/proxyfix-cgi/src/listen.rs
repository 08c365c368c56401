//! Where a gateway listens.

/// Where a gateway listens.
#[derive(Debug)]
pub struct Listener(());
