"""Do clients of other protocols get the same answers from topicd? Triton's and KServe's, Python and Node with generated stubs over
TLS, and a page in a headless browser. clients.sh installs what this needs and runs it. Without a browser that part is left out.
"""

import asyncio
import datetime
import functools
import html
import http.server
import json
import multiprocessing
import shutil
import sys
import tempfile
import threading
import urllib.parse
from contextlib import ExitStack
from pathlib import Path

import numpy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients import ARTICLE, ROOT, Server, check, fail, output, read_article, run

EXAMPLES = ROOT / "examples"
CLASSIFIER = "default"
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome"]


def make_certificates(folder: Path) -> None:
    """A server's certificate for localhost, and that of the authority which has signed it."""
    now = datetime.datetime.now(datetime.UTC)

    def sign(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, ca: bool) -> bytes:
        def named(common: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])

        builder = x509.CertificateBuilder(named(issuer), named(name), key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    folder.joinpath("ca.pem").write_bytes(sign("authority", authority, "authority", authority, True))
    folder.joinpath("cert.pem").write_bytes(sign("localhost", server, "authority", authority, False))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    folder.joinpath("key.pem").write_bytes(server.private_bytes(pem, pkcs8, serialization.NoEncryption()))


def make_token(topicd: str, folder: Path) -> str:
    """A token that may read, in a file of its own, and the file of principals that knows it."""
    printed = output(run(topicd, "token"))
    made = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
    principal = f'[[principal]]\nname = "desk"\ntoken_sha256 = ["{made["token_sha256"]}"]\nreader = ["*"]\n'
    folder.joinpath("principals.toml").write_text(principal)
    folder.joinpath("token").write_text(made["token"] + "\n")
    return made["token"]


def started(stack: ExitStack, topicd: str, *arguments: str) -> str:
    """The address of a server that lasts as long as the stack."""
    data = stack.enter_context(tempfile.TemporaryDirectory())
    server = Server(topicd, Path(data) / "data", *arguments)
    stack.callback(server.child.wait)
    stack.callback(server.child.kill)
    return server.address()


def printed_topics(client: str, printed: str) -> list[tuple[str, str]]:
    """The probabilities and topics that an example prints, a line each."""
    topics = [tuple(line.split()[:2]) for line in printed.splitlines()]
    if not topics or any(len(topic) != 2 for topic in topics):
        fail(f"{client}: prints topics", printed)
    return topics


def check_triton(port: str, folder: Path, token: str, expected: list[tuple[str, str]]) -> None:
    import tritonclient.grpc as triton

    client = triton.InferenceServerClient(
        f"localhost:{port}", ssl=True, root_certificates=str(folder / "ca.pem"), creds=None
    )
    headers = {"authorization": f"Bearer {token}"}
    check("Triton's client: live and ready", client.is_server_live(headers) and client.is_server_ready(headers), "no")
    ready = [client.is_model_ready(name, headers=headers) for name in (CLASSIFIER, "nobody")]
    check("Triton's client: which models are ready", ready == [True, False], ready)
    metadata = client.get_model_metadata(CLASSIFIER, headers=headers)
    names = [tensor.name for tensor in metadata.inputs]
    check("Triton's client: the model's inputs", names == ["text", "title"], metadata)
    title, text = read_article(ARTICLE)
    inputs = [triton.InferInput(name, [1], "BYTES") for name in ("title", "text")]
    for tensor, value in zip(inputs, (title, text)):
        tensor.set_data_from_numpy(numpy.array([value.encode()], dtype=object))
    result = client.infer(CLASSIFIER, inputs, request_id="7", headers=headers, compression_algorithm="gzip")
    topics = [topic.decode() for topic in result.as_numpy("topics")[0]]
    answered = [(f"{value:.3f}", topic) for value, topic in zip(result.as_numpy("probabilities")[0], topics)]
    check("Triton's client: the same topics and probabilities", answered == expected, answered)
    wanted = [triton.InferRequestedOutput("topic")]
    result = client.infer(CLASSIFIER, inputs, outputs=wanted, headers=headers)
    check("Triton's client: an output of its own", result.as_numpy("topic")[0].decode() == expected[0][1], result)
    try:
        client.infer(CLASSIFIER, inputs, headers=headers, parameters={"temperature": "1"})
        fail("Triton's client: an unknown parameter is refused", "it was taken")
    except triton.InferenceServerException as error:
        check("Triton's client: an unknown parameter is refused", "temperature" in str(error), error)
    try:
        client.infer(CLASSIFIER, inputs)
        fail("Triton's client: without its token it is refused", "it was taken")
    except triton.InferenceServerException as error:
        check("Triton's client: without its token it is refused", "UNAUTHENTICATED" in str(error.status()), error)


async def check_kserve(address: str, expected: list[tuple[str, str]]) -> None:
    import kserve

    client = kserve.InferenceGRPCClient(address)
    check("KServe's client: live", await client.is_server_live(), "no")
    check("KServe's client: ready", await client.is_server_ready(), "no")
    check("KServe's client: the model is ready", await client.is_model_ready(CLASSIFIER), "no")
    title, text = read_article(ARTICLE)
    for is_binary in (True, False):
        inputs = [kserve.InferInput(name, [1], "BYTES") for name in ("title", "text")]
        for tensor, value in zip(inputs, (title, text)):
            tensor.set_data_from_numpy(numpy.array([value.encode()], dtype=object), binary_data=is_binary)
        request = kserve.InferRequest(model_name=CLASSIFIER, infer_inputs=inputs, request_id="7")
        response = await client.infer(request)
        outputs = {tensor.name: tensor for tensor in response.outputs}
        topics = [t.decode() if isinstance(t, bytes) else t for t in outputs["topics"].as_numpy().flatten()]
        probabilities = outputs["probabilities"].as_numpy().flatten()
        answered = [(f"{value:.3f}", topic) for value, topic in zip(probabilities, topics)]
        what = "raw" if is_binary else "typed"
        check(f"KServe's client: the same topics and probabilities, {what}", answered == expected, answered)
    await client.close()


def check_kserve_in_process(address: str, expected: list[tuple[str, str]]) -> None:
    asyncio.run(check_kserve(address, expected))


def in_process(function, *arguments: object) -> None:
    """In a process of its own: both clients bring the protocol's messages, and Python has each name once."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode != 0:
        sys.exit(1)


def python_example(port: str, folder: Path) -> list[tuple[str, str]]:
    stubs = EXAMPLES / "python" / "stubs"
    stubs.mkdir(exist_ok=True)
    protos = sorted((ROOT / "proto" / "topicd" / "v1").glob("*.proto"))
    includes = ["-I", ROOT / "proto", "-I", ROOT / "proto" / "third_party"]
    outputs = [f"--python_out={stubs}", f"--pyi_out={stubs}", f"--grpc_python_out={stubs}"]
    output(run(sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *protos))
    example = EXAMPLES / "python" / "secure.py"
    address = f"localhost:{port}"
    printed = output(run(sys.executable, example, address, folder / "ca.pem", folder / "token", ARTICLE))
    return printed_topics("Python with stubs", printed)


def node_example(port: str, folder: Path) -> list[tuple[str, str]]:
    example = EXAMPLES / "javascript" / "classify.mjs"
    url = f"https://localhost:{port}"
    return printed_topics("Node", output(run("node", example, url, folder / "ca.pem", folder / "token", ARTICLE)))


class Pages(http.server.SimpleHTTPRequestHandler):
    """Shows files, and doesn't tell of it."""

    def log_message(self, *_: object) -> None:
        pass


def in_browser(browser: str, page: str, server: str) -> str:
    """What a page shows when it has called the server."""
    title, text = read_article(ARTICLE)
    query = urllib.parse.urlencode({"server": server, "title": title, "text": text})
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    with tempfile.TemporaryDirectory() as profile:
        shown = output(run(browser, *options, f"--user-data-dir={profile}", f"{page}?{query}"))
    if (begin := shown.find('aria-live="polite">')) < 0:
        fail("the browser shows the page", shown)
    return html.unescape(shown[begin:].split(">", 1)[1].split("</pre>")[0])


def check_browser(stack: ExitStack, topicd: str, expected: list[tuple[str, str]]) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("left out: there is no browser here", flush=True)
        return
    handler = functools.partial(Pages, directory=EXAMPLES / "javascript")
    pages = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    stack.callback(pages.shutdown)
    origin = f"http://127.0.0.1:{pages.server_port}"
    allowing = started(stack, topicd, "--grpc-web", "--cors-origins", origin)
    shown = in_browser(browser, f"{origin}/page.html", f"http://{allowing}")
    check("a page in a browser shows the same", printed_topics("browser", shown) == expected, shown)
    forbidding = started(stack, topicd, "--grpc-web", "--cors-origins", "https://elsewhere.example")
    shown = in_browser(browser, f"{origin}/page.html", f"http://{forbidding}")
    check("a page of another origin is kept out by the browser", "fetch" in shown.lower(), shown)


def main(topicd: str) -> None:
    printed = output(run(topicd, "classify", "--json", ARTICLE))
    scores = json.loads(printed)["topics"]
    expected = [(f"{score.get('probability', 0.0):.3f}", score["topic"]) for score in scores]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_certificates(folder)
        token = make_token(topicd, folder)
        tls = ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]
        port = started(stack, topicd, *tls, "--principals", str(folder / "principals.toml")).rsplit(":", 1)[1]
        for client, answered in [
            ("Python with stubs, over TLS, compressed", python_example(port, folder)),
            ("Node with stubs, over TLS", node_example(port, folder)),
        ]:
            check(f"{client}: the same topics and probabilities", answered == expected, answered)
        in_process(check_triton, port, folder, token, expected)
        open_to_all = started(stack, topicd)
        in_process(check_kserve_in_process, open_to_all, expected)
        check_browser(stack, topicd, expected)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} PATH/TO/topicd")
    main(sys.argv[1])
