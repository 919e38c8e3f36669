//! The twin of `scope_entered_twice`.

fn main() {
    trio::run(async {
        for _ in 0..2 {
            let scope = trio::CancelScope::new();
            assert!(scope.run(trio::checkpoint()).await.is_some());
        }
    });
}
