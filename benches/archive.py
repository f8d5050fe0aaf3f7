"""Reads a range of the archive with boto3, over so many connections at once, into files.

    archive.py URL REGION ACCESS_KEY SECRET_KEY STREAM START END CONNECTIONS FOLDER

START and END in seconds since 1970. Prints how many bytes were written.
"""

import concurrent.futures
import datetime
import sys

import boto3
from botocore.config import Config

url, region, access_key, secret_key, stream, start, end, connections, folder = sys.argv[1:]
connections = int(connections)


def client(service, endpoint):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(max_pool_connections=connections),
    )


def archive(operation):
    answer = client("kinesisvideo", url).get_data_endpoint(StreamName=stream, APIName=operation)
    return client("kinesis-video-archived-media", answer["DataEndpoint"])


def moment(seconds):
    return datetime.datetime.fromtimestamp(float(seconds), datetime.timezone.utc)


selector = {
    "FragmentSelectorType": "PRODUCER_TIMESTAMP",
    "TimestampRange": {"StartTimestamp": moment(start), "EndTimestamp": moment(end)},
}
pages = archive("LIST_FRAGMENTS").get_paginator("list_fragments")
fragments = [
    fragment
    for page in pages.paginate(StreamName=stream, FragmentSelector=selector, PaginationConfig={"PageSize": 1000})
    for fragment in page["Fragments"]
]
fragments.sort(key=lambda fragment: fragment["ProducerTimestamp"])
numbers = [fragment["FragmentNumber"] for fragment in fragments]
media = archive("GET_MEDIA_FOR_FRAGMENT_LIST")


def fetch(part):
    begin, end = part * len(numbers) // connections, (part + 1) * len(numbers) // connections
    written = 0
    for first in range(begin, end, 1000):
        wanted = numbers[first : min(first + 1000, end)]
        answer = media.get_media_for_fragment_list(StreamName=stream, Fragments=wanted)
        with open(f"{folder}/{part}-{first}.mkv", "wb") as file:
            for piece in answer["Payload"].iter_chunks(1 << 20):
                written += file.write(piece)
    return written


with concurrent.futures.ThreadPoolExecutor(connections) as pool:
    print(sum(pool.map(fetch, range(connections))))
