package loop

import "testing"

func TestPipesAreLentAgainUnlessBytesAreLeftInThem(t *testing.T) {
	p := pipes{room: 1}
	defer p.close()
	first, ok := p.get()
	if !ok {
		t.Fatal("no pipe")
	}
	if _, ok := p.get(); ok {
		t.Error("a second pipe of one")
	}
	p.put(first, true)
	if again, ok := p.get(); !ok || again != first {
		t.Errorf("got %v, %v; want the first one again", again, ok)
	}
	p.put(first, false)
	fresh, ok := p.get()
	if !ok {
		t.Fatal("the room of a pipe that was closed is lost")
	}
	p.put(fresh, true)
}
