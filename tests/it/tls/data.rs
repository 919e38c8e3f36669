#[trio::test]
async fn sizes() {
    use super::pki::*;
    let (mut a, _) = wide_pair(Tls13);
    eprintln!("send {}", size_of_val(&a.send_all(b"x")));
    eprintln!("recv {}", size_of_val(&a.receive_some(&mut [0;4])));
    eprintln!("close {}", size_of_val(&a.aclose()));
    let (mut t, _) = super::line::wide();
    eprintln!("tsend {}", size_of_val(&trio::SendStream::send_all(&mut t, b"x")));
    let (mut a, _) = super::suites::twice(super::line::wide(), Tls13);
    eprintln!("send {}", size_of_val(&a.send_all(b"x")));
    eprintln!("recv {}", size_of_val(&a.receive_some(&mut [0;4])));
    eprintln!("close {}", size_of_val(&a.aclose()));
    let f = super::suites::two_way(Tls13, false);
    eprintln!("two way {}", size_of_val(&f));
}
