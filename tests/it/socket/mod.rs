//! What sockets of all kinds have in common: options, names, closing, wrapping; and the sockets that others have made.

use std::path::PathBuf;

use crate::support::{has_v6, is_closed, soon, tcp_pair};

mod calls;
mod cores;
mod inherited;
mod kinds;
mod names;
mod options;

/// A path of this process's own, which is short, since addresses are.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("trio-{}-{name}", std::process::id()))
}
