//! Nor can one half of a stream, nor the stream beside its halves.

use trio::net::{TcpSendHalf, TcpStream};

async fn send(half: &mut TcpSendHalf<'_>) {
    half.send_all(b"text").await.unwrap();
}

async fn twice(mut stream: TcpStream) {
    let (_from, mut to) = stream.split();
    trio::nursery! { |n|
        n.start_soon(send(&mut to));
        n.start_soon(send(&mut to));
    };
}

async fn beside(mut stream: TcpStream) {
    let (_from, mut to) = stream.split();
    stream.send_eof().await.unwrap();
    to.send_eof().await.unwrap();
}

fn main() {
    trio::run(async {
        twice(TcpStream::connect("localhost:80").await.unwrap()).await;
        beside(TcpStream::connect("localhost:80").await.unwrap()).await;
    });
}
