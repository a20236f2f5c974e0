//! TLS: who is let in with which certificate, and certificates that change while calls go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::config::{ClientCertificates, ServeConfig, TlsClients, TlsFiles};

use crate::authorization::entry;
use crate::support::{TestServer, article, assert_error, eventually, request};

/// Somebody whose signature is trusted.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key in PEM.
struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name, valid until a year.
    fn sign(&self, name: SanType, until: i32) -> Signed {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "somebody");
        params.subject_alt_names = vec![name];
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    fn sign_server(&self, until: i32) -> Signed {
        self.sign(SanType::DnsName("localhost".try_into().unwrap()), until)
    }

    fn sign_client(&self, uri: &str, until: i32) -> Signed {
        self.sign(SanType::URI(uri.try_into().unwrap()), until)
    }
}

/// Where a server's files are.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new(server: &Signed) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.write(server);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, server: &Signed) {
        std::fs::write(self.path("key.pem"), &server.key).unwrap();
        std::fs::write(self.path("cert.pem"), &server.certificate).unwrap();
    }

    fn tls(&self, clients: Option<TlsClients>) -> Option<TlsFiles> {
        Some(TlsFiles { certificate: self.path("cert.pem"), key: self.path("key.pem"), clients })
    }

    fn clients(&self, authority: &Authority, certificates: ClientCertificates) -> Option<TlsClients> {
        let authorities = self.path("clients.pem");
        std::fs::write(&authorities, authority.pem()).unwrap();
        Some(TlsClients { authorities, certificates })
    }
}

async fn try_connect(
    server: &TestServer,
    trusted: &Authority,
    own: Option<&Signed>,
) -> Result<Channel, tonic::transport::Error> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted.pem())).domain_name("localhost");
    let tls = match own {
        Some(own) => tls.identity(Identity::from_pem(&own.certificate, &own.key)),
        None => tls,
    };
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await
}

async fn classify(channel: Channel) -> Result<pb::ClassifyResponse, tonic::Status> {
    Ok(ClassifierServiceClient::new(channel).classify(request(article())).await?.into_inner())
}

async fn start(change: impl FnOnce(&mut ServeConfig)) -> TestServer {
    TestServer::start_with(change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_over_tls_and_no_others() {
    let authority = Authority::new();
    let files = Files::new(&authority.sign_server(2500));
    let server = start(|config| config.security.tls = files.tls(None)).await;
    let answer = classify(try_connect(&server, &authority, None).await.unwrap()).await.unwrap();
    assert!(!answer.topics.is_empty());
    assert!(try_connect(&server, &Authority::new(), None).await.is_err(), "its certificate is by nobody we trust");

    let in_the_clear = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await;
    let refused = match in_the_clear {
        Ok(channel) => classify(channel).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    let expiry = crate::metrics::value_of(&server, "topicd_certificate_expiry_timestamp_seconds").await;
    assert_eq!(expiry as u64, 16_725_225_601, "2500-01-01T00:00:01Z, the first second that isn't valid");
}

/// For probes that speak no TLS and have no credential.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_address_answers_in_the_clear_and_for_health_alone() {
    let authority = Authority::new();
    let files = Files::new(&authority.sign_server(2500));
    let principals = files.path("principals.toml");
    std::fs::write(&principals, "").unwrap();
    let server = start(|config| {
        config.security.tls = files.tls(None);
        config.security.principals = Some(principals);
    })
    .await;
    let channel = Endpoint::from_shared(format!("http://{}", server.health)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let serving = || {
        let mut health = health.clone();
        async move { Some(health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status().as_str_name()) }
    };
    eventually("it serves", || async { serving().await.filter(|status| *status == "SERVING") }).await;
    assert_error(&classify(channel).await.unwrap_err(), Code::Unimplemented, "UNKNOWN_METHOD");

    // It says that the server stops, to those who watch, and ends with it.
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status().as_str_name(), "SERVING");
    server.stop.send(()).unwrap();
    let told = watch.message().await.unwrap().unwrap();
    assert_eq!(told.status().as_str_name(), "NOT_SERVING");
    server.running.await.unwrap().unwrap();
}

/// Who connects and says nothing would have a place for ever.
#[tokio::test]
async fn a_handshake_that_doesnt_come_is_waited_for_no_longer_than_the_limit() {
    let authority = Authority::new();
    let files = Files::new(&authority.sign_server(2500));
    let server = start(|config| {
        config.security.tls = files.tls(None);
        config.connections.handshake_timeout = Duration::from_millis(300);
    })
    .await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(20), silent.read(&mut [0])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    classify(try_connect(&server, &authority, None).await.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_certificate_is_a_credential_and_may_be_required() {
    let (authority, of_clients) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.sign_server(2500));
    let known = of_clients.sign_client("spiffe://news/desk", 2500);
    let unknown = of_clients.sign_client("spiffe://news/other", 2500);
    let expired = of_clients.sign_client("spiffe://news/desk", 2001);
    let self_made = Authority::new().sign_client("spiffe://news/desk", 2500);
    let principals = files.path("principals.toml");
    let by_certificate =
        "[[principal]]\nname = \"by-certificate\"\ncertificate = [\"uri:spiffe://news/desk\"]\nreader = [\"*\"]\n";
    std::fs::write(&principals, by_certificate.to_owned() + &entry("by-token", "reader = [\"*\"]")).unwrap();
    for certificates in [ClientCertificates::Required, ClientCertificates::Optional] {
        let server = start(|config| {
            config.security.tls = files.tls(files.clients(&of_clients, certificates));
            config.security.principals = Some(principals.clone());
        })
        .await;
        classify(try_connect(&server, &authority, Some(&known)).await.unwrap()).await.unwrap();
        let denied = classify(try_connect(&server, &authority, Some(&unknown)).await.unwrap()).await.unwrap_err();
        assert_error(&denied, Code::Unauthenticated, "UNKNOWN_CREDENTIAL");
        for refused in [&expired, &self_made] {
            let answer = match try_connect(&server, &authority, Some(refused)).await {
                // In TLS 1.3 the client has connected before it is refused.
                Ok(channel) => classify(channel).await.map_err(|_| ()),
                Err(_) => Err(()),
            };
            assert!(answer.is_err());
        }
        let without = match try_connect(&server, &authority, None).await {
            Ok(channel) => {
                let mut message = tonic::Request::new(request(article()));
                message.metadata_mut().insert("authorization", "Bearer by-token-secret".parse().unwrap());
                ClassifierServiceClient::new(channel).classify(message).await.map(|_| ()).map_err(|_| ())
            }
            Err(_) => Err(()),
        };
        assert_eq!(without.is_ok(), certificates == ClientCertificates::Optional);
    }
}

/// Callers who connect anew for every few calls, while the certificate changes and, once, makes no sense.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_under_load_and_no_call_fails() {
    let authority = Arc::new(Authority::new());
    let files = Files::new(&authority.sign_server(2500));
    let server = Arc::new(start(|config| config.security.tls = files.tls(None)).await);
    let (is_over, n_calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let caller = |stays_connected: bool| {
        let (server, authority) = (Arc::clone(&server), Arc::clone(&authority));
        let (is_over, n_calls) = (Arc::clone(&is_over), Arc::clone(&n_calls));
        tokio::spawn(async move {
            let mut channel = try_connect(&server, &authority, None).await.unwrap();
            while !is_over.load(Ordering::Relaxed) {
                if !stays_connected {
                    channel = try_connect(&server, &authority, None).await.unwrap();
                }
                classify(channel.clone()).await.unwrap();
                n_calls.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let callers = [caller(true), caller(false), caller(false)];
    let expiry = || crate::metrics::value_of(&server, "topicd_certificate_expiry_timestamp_seconds");
    let goes_on = || async {
        let before = n_calls.load(Ordering::Relaxed);
        eventually("calls go on", || async { (n_calls.load(Ordering::Relaxed) > before + 20).then_some(()) }).await;
    };
    for until in [2501, 2502, 2503] {
        goes_on().await;
        let before = expiry().await;
        files.write(&authority.sign_server(until));
        eventually("the new certificate is used", || async { (expiry().await > before).then_some(()) }).await;
    }
    std::fs::write(files.path("cert.pem"), "-----BEGIN NONSENSE-----").unwrap();
    let failures = || crate::metrics::value_of(&server, "topicd_reload_failures_total");
    eventually("nonsense is noticed", || async { (failures().await > 0.0).then_some(()) }).await;
    goes_on().await;
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

fn topicd(arguments: &[&str], directory: &Path) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_topicd"));
    command.args(arguments).current_dir(directory).env_clear();
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_calls_over_tls_with_a_token() {
    let authority = Authority::new();
    let files = Files::new(&authority.sign_server(2500));
    let principals = files.path("principals.toml");
    std::fs::write(&principals, entry("admin-token", "admin = [\"*\"]")).unwrap();
    std::fs::write(files.path("token"), "admin-token-secret\n").unwrap();
    std::fs::write(files.path("ca.pem"), authority.pem()).unwrap();
    let server = start(|config| {
        config.security.tls = files.tls(None);
        config.security.principals = Some(principals);
    })
    .await;
    let directory = files.directory.path().to_owned();
    let url = format!("https://localhost:{}", server.address.port());
    let ran = tokio::task::spawn_blocking(move || {
        let listed =
            topicd(&["models", "list", "--server", &url, "--ca", "ca.pem", "--token-file", "token"], &directory);
        let without = topicd(&["models", "list", "--server", &url, "--ca", "ca.pem"], &directory);
        let healthy = topicd(&["health", "--server", &url, "--ca", "ca.pem", "--timeout", "30"], &directory);
        (listed, without, healthy)
    });
    let (listed, without, healthy) = ran.await.unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("default"), "{listed:?}");
    assert!(String::from_utf8_lossy(&without.stderr).contains("the call has no credential"), "{without:?}");
    assert_eq!((healthy.status.code(), &*healthy.stdout), (Some(0), &b"SERVING\n"[..]), "{healthy:?}");
}

#[test]
fn files_that_are_missing_or_make_no_sense_are_named_before_anything_listens() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let signed = authority.sign_server(2500);
    let other = authority.sign_server(2500);
    for (name, content) in [("c.pem", &signed.certificate), ("k.pem", &signed.key), ("other.pem", &other.key)] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    std::fs::write(directory.path().join("p.toml"), "[[principal]]\nname = \"x\"\nrole = \"admin\"\n").unwrap();
    for (arguments, said) in [
        (&["--tls-cert", "c.pem"][..], "no tls_key"),
        (&["--tls-cert", "c.pem", "--tls-key", "gone.pem"], "gone.pem"),
        (&["--tls-cert", "k.pem", "--tls-key", "k.pem"], "k.pem"),
        (&["--tls-cert", "c.pem", "--tls-key", "other.pem"], "certificate and key"),
        (&["--principals", "gone.toml"], "principals"),
        (&["--principals", "p.toml"], "role"),
        (&["--listen=0.0.0.0:0"], "--insecure"),
        (&["--listen=0.0.0.0:0", "--tls-cert", "c.pem", "--tls-key", "k.pem"], "anyone could call"),
        (&["--cors-origins", "https://a.example"], "grpc_web"),
        (&["--grpc-web", "--cors-origins", "a.example/page"], "origin"),
    ] {
        let listen = if arguments[0].starts_with("--listen") { &[][..] } else { &["--listen=127.0.0.1:0"] };
        let arguments = &[&["serve", "--data-dir", "data"], listen, arguments].concat();
        let ran = topicd(arguments, directory.path());
        let (code, stderr) = (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned());
        assert!(matches!(code, Some(1 | 2)) && stderr.contains(said), "{arguments:?}: {code:?} {stderr}");
    }
}

#[test]
fn a_token_and_its_hash_go_together() {
    let directory = tempfile::tempdir().unwrap();
    let printed = String::from_utf8(topicd(&["token"], directory.path()).stdout).unwrap();
    let line = |key: &str| printed.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
    let (token, sha256) = (line("token: "), line("token_sha256: "));
    let content = format!("[[principal]]\nname = \"new\"\ntoken_sha256 = [\"{sha256}\"]\n");
    let path = directory.path().join("principals.toml");
    std::fs::write(&path, content).unwrap();
    let access = topicd::access::Access::open(&path).unwrap();
    assert_eq!(access.by_token(token.as_bytes()).unwrap().name(), "new");
    assert_ne!(printed, String::from_utf8(topicd(&["token"], directory.path()).stdout).unwrap());
}
