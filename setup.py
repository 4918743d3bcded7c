# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""All metadata of the package stands here: with a [project] table colcon installs no scripts."""

from glob import glob

from setuptools import find_packages, setup

NAME = "depthlm_ros"

setup(
    name=NAME,
    version="0.1.0",
    description="A vision-language model answers how far the pixels of an image are, in ROS 2.",
    license="Apache-2.0",
    maintainer="depthlm_ros authors",
    maintainer_email="depthlm-ros@users.noreply.github.com",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["demo/*", "checkpoint_tiny/*", "ros/*.xml", "evaluation/*.json"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config", sorted(glob("config/*"))),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    # What runs the models is in requirements/: on a robot apt, not pip, brings numpy and OpenCV.
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    entry_points={"console_scripts": ["depthlm = depthlm_ros.cli:main"]},
    scripts=["scripts/depthlm_node", "scripts/depthlm_demo_camera"],
)
