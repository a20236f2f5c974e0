"""Classify an article over TLS with a token, with generated stubs and retries as ../service_config.json says:

    python -m grpc_tools.protoc -I ../../proto -I ../../proto/third_party --python_out=stubs --pyi_out=stubs \
        --grpc_python_out=stubs ../../proto/topicd/v1/*.proto
    python secure.py desk.example.org:50051 ca.pem token ../articles/cup-final.txt

Without stubs, see classify.py. The messages of google.rpc come from the package googleapis-common-protos.
"""

import sys
from pathlib import Path

import grpc

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "stubs"), str(HERE)]
from topicd.v1 import classifier_service_pb2, classifier_service_pb2_grpc, document_pb2  # noqa: E402

from classify import read_article  # noqa: E402


def connect(address: str, ca: Path, token: Path) -> grpc.Channel:
    tls = grpc.ssl_channel_credentials(ca.read_bytes())
    bearer = grpc.access_token_call_credentials(token.read_text().strip())
    options = [("grpc.service_config", (HERE.parent / "service_config.json").read_text())]
    return grpc.secure_channel(address, grpc.composite_channel_credentials(tls, bearer), options)


if __name__ == "__main__":
    address, ca, token, article = sys.argv[1:]
    title, text = read_article(article)
    with connect(address, Path(ca), Path(token)) as channel:
        classifiers = classifier_service_pb2_grpc.ClassifierServiceStub(channel)
        document = document_pb2.Document(title=title, text=text)
        request = classifier_service_pb2.ClassifyRequest(document=document)
        for score in classifiers.Classify(request, compression=grpc.Compression.Gzip).topics:
            print(f"{score.probability:.3f}  {score.topic}{'  (assigned)' if score.assigned else ''}")
