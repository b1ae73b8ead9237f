"""Makes one call as a kubelet does: `kubelet.py SOCKET METHOD`, the request as JSON on standard input, the answer on
standard output. The messages are those of the package container-runtime-interface-api of PyPI."""

import sys

import grpc
from cri_api.v1 import api_pb2, api_pb2_grpc
from google.protobuf import json_format

socket, method = sys.argv[1:3]
request = json_format.Parse(sys.stdin.read(), getattr(api_pb2, method + "Request")())
runtime = api_pb2_grpc.RuntimeServiceStub(grpc.insecure_channel("unix://" + socket))
try:
    answer = getattr(runtime, method)(request, timeout=120)
except grpc.RpcError as error:
    sys.exit(f"{method}: {error.code().name}: {error.details()}")
print(json_format.MessageToJson(answer, preserving_proto_field_name=True))
