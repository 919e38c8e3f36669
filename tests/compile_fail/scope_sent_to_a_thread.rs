//! A cancel scope stays on its own thread.

fn main() {
    let scope = trio::CancelScope::new();
    std::thread::spawn(move || scope.handle().cancel());
}
