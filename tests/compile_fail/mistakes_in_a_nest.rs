//! Mistakes in several macros of a nest are reported together.

fn main() {
    trio::run(async {
        trio::nursery! { |n, scope, extra|
            trio::shield!(trio::checkpoint());
            trio::cancel_scope! { |a, b| n.start_soon(trio::checkpoint()); };
        };
    });
}
