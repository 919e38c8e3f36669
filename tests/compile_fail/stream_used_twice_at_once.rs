//! One stream can't be used mutably by two tasks at once.

use trio::net::TcpStream;

async fn receive(stream: &mut TcpStream) {
    stream.receive_some(&mut [0; 16]).await.unwrap();
}

async fn send(stream: &mut TcpStream) {
    stream.send_all(b"text").await.unwrap();
}

async fn both(mut stream: TcpStream) {
    trio::nursery! { |n|
        n.start_soon(receive(&mut stream));
        n.start_soon(send(&mut stream));
    };
}

fn main() {
    trio::run(async {
        both(TcpStream::connect("localhost:80").await.unwrap()).await;
    });
}
