#pragma once
#include "backends/block/image_tool.h"

/// What users do with images of disks while no machine runs from them: see backends.
namespace vireo::machine {

using backends::check_image_file;
using backends::convert_image;
using backends::create_image_file;
using backends::create_image_over;
using backends::describe_image;
using backends::describe_stack;
using backends::ImageCheck;
using backends::ImageInfo;
using backends::ImageStack;
using backends::resize_image;

}  // namespace vireo::machine
