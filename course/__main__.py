from course.cli import main

main(prog_name="python -m course")
