//! A syntax error is reported where it is.

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            let x = ;
            n.start_soon(trio::checkpoint());
        };
    });
}
