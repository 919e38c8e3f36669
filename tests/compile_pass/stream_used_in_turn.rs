//! The twin of `stream_used_twice_at_once`: one task after the other, or each with a stream of its own.

use trio::net::TcpStream;

async fn receive(stream: &mut TcpStream) {
    stream.receive_some(&mut [0; 16]).await.unwrap();
}

async fn send(stream: &mut TcpStream) {
    stream.send_all(b"text").await.unwrap();
}

async fn in_turn(mut one: TcpStream, mut other: TcpStream) {
    send(&mut one).await;
    receive(&mut one).await;
    trio::nursery! { |n|
        n.start_soon(send(&mut one));
        n.start_soon(receive(&mut other));
    };
}

fn main() {
    let _ = in_turn;
}
