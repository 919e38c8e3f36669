//! A run on each core.

use std::io::{self, ErrorKind};

use trio::net::{TcpListener, TcpStream};
use trio::open_tcp_stream;

use super::soon;
use crate::support::Failed;

#[test]
fn each_core_has_a_run_and_all_are_served() {
    const CORES: usize = 3;
    let ready = std::sync::atomic::AtomicUsize::new(0);
    let threads = std::sync::Mutex::new(std::collections::HashSet::new());
    let main = async |listeners: Vec<TcpListener>| -> trio::Result {
        let port = listeners[0].local_addr()?.port();
        let is_client = ready.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let greet = async |mut stream: TcpStream| -> io::Result<()> {
            threads.lock().unwrap().insert(std::thread::current().name().map(str::to_owned));
            stream.send_all(b"hi").await
        };
        trio::try_nursery! { |n|
            n.start_daemon(trio::serve_listeners(greet, listeners));
            if !is_client {
                trio::sleep_forever().await;
            }
            // Which core gets a connection is chosen by a hash of its address: all, sooner or later.
            for _ in 0..2000 {
                let mut client = open_tcp_stream("127.0.0.1", port).await?;
                assert_eq!(soon(client.receive_some(&mut [0; 8])).await?, 2);
                if threads.lock().unwrap().len() == CORES {
                    break;
                }
            }
        }?;
        Ok(())
    };
    trio::serve_per_core(main, 0, Some("127.0.0.1")).cores(CORES).run().unwrap();
    let mut names: Vec<_> = threads.into_inner().unwrap().into_iter().map(Option::unwrap).collect();
    names.sort();
    assert_eq!(names, ["core 0", "core 1", "core 2"]);
}

#[test]
fn a_core_that_fails_takes_the_others_down() {
    struct Ended<'a>(&'a std::sync::atomic::AtomicUsize);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let (begun, ended) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
    let main = async |_: Vec<TcpListener>| -> trio::Result {
        let _ended = Ended(&ended);
        if begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 2 {
            return Err(Failed("no more").into());
        }
        trio::sleep_forever().await
    };
    let error = trio::serve_per_core(main, 0, Some("127.0.0.1")).cores(3).run().unwrap_err();
    assert_eq!(error.len(), 1);
    assert!(error.first().task_name().unwrap().starts_with("core "));
    assert!(error.downcast_ref::<Failed>().is_some());
    assert_eq!(ended.into_inner(), 3);

    let main = async |_: Vec<TcpListener>| -> trio::Result {
        trio::checkpoint().await;
        std::panic::resume_unwind(Box::new("quiet"))
    };
    let server = trio::serve_per_core(main, 0, Some("127.0.0.1")).cores(2);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.run())).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"quiet"));
}

#[test]
fn a_server_that_can_not_listen_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let main = async |_: Vec<TcpListener>| -> trio::Result { panic!("it can't begin") };
    let port = taken.local_addr().unwrap().port();
    let error = trio::serve_per_core(main, port, Some("127.0.0.1")).cores(2).run().unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::AddrInUse);
}
