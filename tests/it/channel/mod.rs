//! Memory channels: that every value arrives once and in order, whatever is closed, cancelled or dropped meanwhile.

mod basics;
mod batches;
mod closing;
mod generator;
mod loss;
mod order;
mod statistics;
mod stream;

use std::cell::RefCell;

use trio::{MemoryReceiver, MemorySender};

/// Sends the numbers of a range, then closes the sender.
async fn send_all(sender: MemorySender<u32>, values: std::ops::Range<u32>) {
    for value in values {
        sender.send(value).await.unwrap();
    }
}

/// Receives until the channel ends.
async fn receive_all(receiver: &MemoryReceiver<u32>, got: &RefCell<Vec<u32>>) {
    while let Ok(value) = receiver.receive().await {
        got.borrow_mut().push(value);
    }
}

/// What has been received, in order of size.
fn sorted(got: RefCell<Vec<u32>>) -> Vec<u32> {
    let mut got = got.into_inner();
    got.sort_unstable();
    got
}

fn numbers(count: u32) -> Vec<u32> {
    (0..count).collect()
}
