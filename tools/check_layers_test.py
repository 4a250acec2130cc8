#!/usr/bin/env python3
"""Every rule of check_layers.py is seen to fail on a tree that breaks it."""
import pathlib
import tempfile
import unittest

import check_layers


class CheckLayersTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("src/CMakeLists.txt", "vireo_layer(base)\nvireo_layer(memory vireo_base)\n")
        for other in ("apps", "tests"):
            (self.root / other).mkdir()

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def errors(self):
        return check_layers.check(self.root)

    def test_downward_and_own_includes_are_fine(self):
        self.write("src/memory/a.cpp", '#include "memory/a.h"\n#include "base/result.h"\n')
        self.assertEqual(self.errors(), [])

    def test_an_upward_include_is_named(self):
        self.write("src/memory/a.cpp", '#include "machine/machine.h"\n')
        self.assertEqual(self.errors(), ["src/memory/a.cpp: memory/ may not include machine/"])

    def test_spaces_do_not_hide_an_include(self):
        self.write("src/base/a.h", ' # include "state/archive.h"\n')
        self.assertEqual(len(self.errors()), 1)

    def test_only_tests_include_the_test_support(self):
        self.write("src/bus/a_test.cpp", '#include "support/fake.h"\n')
        self.assertEqual(self.errors(), [])
        self.write("src/bus/a_test_rig.h", '#include "support/fake.h"\n')
        self.assertEqual(self.errors(), [])
        self.write("src/bus/a.cpp", '#include "support/fake.h"\n')
        self.assertEqual(len(self.errors()), 1)

    def test_tests_obey_the_layers_too(self):
        self.write("src/bus/a_test.cpp", '#include "machine/machine.h"\n')
        self.assertEqual(len(self.errors()), 1)

    def test_only_tests_reach_through_a_layer_to_what_is_below_it(self):
        self.write("src/control/a_test.cpp", '#include "backends/character/memory_backend.h"\n')
        self.assertEqual(self.errors(), [])
        self.write("src/control/a.cpp", '#include "backends/character/memory_backend.h"\n')
        self.assertEqual(len(self.errors()), 1)

    def test_a_folder_that_is_no_layer_is_named(self):
        self.write("src/utils/a.h", "\n")
        self.assertIn("utils/ is no layer", self.errors()[0])

    def test_long_files_are_named_and_opcode_maps_are_not(self):
        long = "\n" * (check_layers.MAX_LINES + 1)
        self.write("src/x86/decode/map_one_byte.cpp", long)
        self.assertEqual(self.errors(), [])
        self.write("src/x86/a.cpp", long)
        self.write("tests/conformance/a.cpp", long)
        self.assertEqual(len(self.errors()), 2)

    def test_a_file_of_the_permitted_length_is_fine(self):
        self.write("src/x86/a.cpp", "\n" * check_layers.MAX_LINES)
        self.assertEqual(self.errors(), [])

    def test_a_layer_links_no_more_than_it_includes(self):
        self.write("src/CMakeLists.txt", "vireo_layer(devices vireo_base\n            vireo_x86)\n")
        self.assertEqual(self.errors(), ["src/CMakeLists.txt: devices may not link x86"])

    def test_programs_see_the_machine_and_nothing_below_it(self):
        self.write("apps/vireo/main.cpp", '#include "control/controller.h"\n')
        self.assertEqual(self.errors(), [])
        self.write("apps/vireo/run.cpp", '#include "devices/serial/uart16550.h"\n')
        self.assertEqual(len(self.errors()), 1)


if __name__ == "__main__":
    unittest.main()
