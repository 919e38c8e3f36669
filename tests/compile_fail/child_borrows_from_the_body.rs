//! An inline task can't borrow what the nursery's body declares: the body may end first.

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            let local = String::from("local");
            n.start_soon(async { println!("{local}") });
        };
    });
}
