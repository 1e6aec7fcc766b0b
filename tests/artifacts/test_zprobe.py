def test_a(digits_program, inline_program, noisy_program, regression_program):
    import shutil
    for n, p in dict(d=digits_program, i=inline_program, n=noisy_program, r=regression_program).items():
        shutil.rmtree('/tmp/h/'+n, ignore_errors=True)
        shutil.copytree(p.program.parent, '/tmp/h/'+n)
