//! Two tasks can't both borrow the same thing mutably.

async fn add(number: &mut u32) {
    trio::checkpoint().await;
    *number += 1;
}

fn main() {
    trio::run(async {
        let mut number = 0;
        trio::nursery! { |n|
            n.start_soon(add(&mut number));
            n.start_soon(add(&mut number));
        };
    });
}
