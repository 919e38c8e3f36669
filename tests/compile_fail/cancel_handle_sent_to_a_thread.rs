//! A cancel handle stays on its own thread.

fn main() {
    trio::run(async {
        trio::cancel_scope! { |scope|
            std::thread::spawn(move || scope.cancel());
        };
    });
}
