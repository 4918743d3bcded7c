# UNVERIFIED: this image has not been built yet.
#
#   docker build -t depthlm_ros .
#   docker run --rm --gpus all --net host --ipc host --shm-size 256m depthlm_ros image:=/camera/image_raw
#
# --shm-size (or --ipc host): images travel through shared memory, and Docker's 64 MiB are soon full.
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /ws
COPY . src/depthlm_ros
RUN apt-get update && rosdep update --rosdistro ${ROS_DISTRO} \
    && rosdep install --ignore-src -y --from-paths src src/depthlm_ros/depthlm_interfaces --skip-keys rviz2 \
    && rm -rf /var/lib/apt/lists/*
RUN . /opt/ros/${ROS_DISTRO}/setup.sh \
    && colcon build --base-paths src src/depthlm_ros/depthlm_interfaces
RUN . install/setup.sh && make -C src/depthlm_ros setup
ENTRYPOINT ["/bin/bash", "-c", \
    ". install/setup.bash && . src/depthlm_ros/.venv/bin/activate && exec ros2 launch depthlm_ros depthlm.launch.py \"$@\"", "depthlm"]
