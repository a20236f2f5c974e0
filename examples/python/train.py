"""Teach a running topicd from labelled articles, and ask the new version:
python train.py 127.0.0.1:50051 ../training/next-20.json

As in classify.py, the server describes its own messages, so there is no generated code.
"""

import json
import sys
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Topicd:
    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.descriptors = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))

    def call(self, method: str, request: dict[str, Any], timeout: float = 60) -> Message:
        """Calls a method such as "ClassifierService/Train" with a request in protobuf's JSON."""
        service, name = method.split("/")
        descriptor = self.descriptors.FindServiceByName(f"topicd.v1.{service}").methods_by_name[name]
        request_class, response_class = GetMessageClass(descriptor.input_type), GetMessageClass(descriptor.output_type)
        path = f"/topicd.v1.{method}"
        call = self.channel.unary_unary(path, request_class.SerializeToString, response_class.FromString)
        return call(ParseDict(request, request_class(), descriptor_pool=self.descriptors), timeout=timeout)


if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1]) as channel:
        topicd = Topicd(channel)
        job = topicd.call("ClassifierService/Train", json.loads(Path(sys.argv[2]).read_text())).training_job
        if not job.model_version:
            sys.exit(f"{job.name}: {job.failure.message}")
        print(f"{job.model_version}: out-of-fold accuracy {job.evaluation.accuracy:.3f} on {job.document_count} documents")
        for check in job.checks:
            print(f"  {'passed' if check.passed else 'FAILED'}  {check.description}")
        model = job.model_version.split("/versions/")[0]
        document = {"title": "Late header wins the cup", "text": "The final went to extra time."}
        answer = topicd.call("ClassifierService/Classify", {"model": model, "document": document})
        print(f"{answer.model_version} says: {answer.topics[0].topic}")
