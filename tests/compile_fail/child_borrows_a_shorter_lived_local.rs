//! A function that starts tasks in somebody else's nursery can't lend them its own locals.

async fn read(text: &str) {
    trio::checkpoint().await;
    println!("{text}");
}

fn start<'scope>(n: &'scope trio::Nursery<'scope, '_>) {
    let local = String::from("local");
    n.start_soon(read(&local));
}

fn main() {
    trio::run(async {
        trio::nursery! { |n| start(n) };
    });
}
