from nukki.command import main

main()
