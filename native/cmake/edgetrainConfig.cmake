# find_package(edgetrain) → edgetrain::core, and the ExecuTorch runtime that it is linked with.
include(CMakeFindDependencyMacro)
find_dependency(executorch 1.5 COMPONENTS threadpool)
include(${CMAKE_CURRENT_LIST_DIR}/edgetrainTargets.cmake)
