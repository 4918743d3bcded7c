# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The services ~/query_distance, ~/query_image and ~/query_regions.

Knows what a request holds and where its answers go; asking.py does the rest.
"""

import functools

from rclpy.callback_groups import ReentrantCallbackGroup

from depthlm_ros.regions import box_pixels, box_ranges, box_sample_count
from depthlm_ros.ros.convert import fill_answers, fill_box_answers
from depthlm_ros.ros.serve.asking import interfaces, pixels_of


class Queries:
    """Serves for all cameras; asking: how a question becomes an answer."""

    def __init__(self, node, asking):
        self._asking = asking
        srv, _ = interfaces()
        group = ReentrantCallbackGroup()  # several callers may wait at the same time
        for kind, name, fill in (
            (srv.QueryDistance, "~/query_distance", self._distance),
            (srv.QueryImage, "~/query_image", self._image),
            (srv.QueryRegions, "~/query_regions", self._regions),
        ):
            answer = functools.partial(self._answer, fill)
            node.create_service(kind, name, answer, callback_group=group)

    async def _answer(self, fill, request, response):
        return await self._asking.carried_out(response, functools.partial(fill, request))

    async def _distance(self, request, response, began):
        await self._pixels(request, self._asking.newest, response, began)

    async def _image(self, request, response, began):
        await self._pixels(request, self._asking.enclosed, response, began)

    async def _pixels(self, request, source_of, response, began):
        pixels = pixels_of(request)
        self._asking.check_count(len(pixels))
        source = source_of(request)
        response.header = source.header
        deadline = self._asking.deadline(began)
        pending = self._asking.worker.ask(source.frame_of, pixels, deadline)
        answered = await self._asking.answered(pending, source)
        fill_answers(response.answers, answered.ranges)

    async def _regions(self, request, response, began):
        boxes = [(r.x_offset, r.y_offset, r.width, r.height) for r in request.regions]
        source = self._asking.newest(request)
        response.header = source.header
        found = await measured_boxes(self._asking, source, boxes, request.samples, began)
        fill_box_answers(response, found)


async def measured_boxes(asking, source, boxes, samples, began):
    """BoxRanges of boxes [(left, top, width, height)] of a picture."""
    asking.check_count(len(boxes) * box_sample_count(samples))

    def start(predictor, frame):
        pixels = box_pixels(frame.camera, boxes, samples).pixels
        return predictor.start(frame, pixels, deadline=deadline)

    deadline = asking.deadline(began)
    pending = asking.worker.submit(source.frame_of, start, deadline)
    answered = await asking.answered(pending, source)
    camera = answered.frame.camera
    return box_ranges(camera, box_pixels(camera, boxes, samples), answered.ranges)
