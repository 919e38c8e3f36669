//! What a child borrows mutably can't be used while the children run.

async fn add(number: &mut u32) {
    trio::checkpoint().await;
    *number += 1;
}

fn main() {
    trio::run(async {
        let mut number = 0;
        trio::nursery! { |n|
            n.start_soon(add(&mut number));
            trio::checkpoint().await;
            println!("{number}");
        };
    });
}
