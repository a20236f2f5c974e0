//! How soon a server serves after it was started, and what memory it takes while nobody calls it.

use std::time::{Duration, Instant};

use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::ratios::median;
use crate::servers::Server;

const N_STARTS: usize = 7;
/// When what was needed to start has been given back.
const QUIET: Duration = Duration::from_secs(2);

pub(crate) async fn run() {
    let (mut first, mut again, mut resident_mb) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..N_STARTS {
        let data_dir = tempfile::tempdir().unwrap();
        for starts in [&mut first, &mut again] {
            let begun = Instant::now();
            let server = Server::topicd_in(data_dir.path());
            let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
            let mut health = HealthClient::new(channel);
            let question = HealthCheckRequest { service: String::new() };
            while health.check(question.clone()).await.unwrap().into_inner().status() != ServingStatus::Serving {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            starts.push(begun.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(QUIET).await;
            resident_mb.push(server.resident_mb());
        }
    }
    println!("| medians of {N_STARTS} starts | |\n|---|---:|");
    println!("| from exec to SERVING, in a new data directory | {:.0} ms |", median(&first));
    println!("| from exec to SERVING, in one whose server was killed | {:.0} ms |", median(&again));
    println!("| resident memory, idle, with the bundled model | {:.1} MB |", median(&resident_mb));
}
